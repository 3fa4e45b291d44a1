"""Event out: what is announced of a job or an account, how, and how it is read.

``payloads``   what each announcement says
``linking``    what it says only when it goes out: where files can be got
``publisher``  how it is published
``heard``      an event as a listener reads it
"""
