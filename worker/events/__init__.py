"""Event out: what is announced of a job or an account, how, and how it is read.

``payloads``   what each announcement says
``publisher``  how it is published
``heard``      an event as a listener reads it
"""
