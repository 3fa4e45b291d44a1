"""Event out: what is announced of a job or an account, and how.

``payloads``   what each announcement says
``linking``    what it says only when it goes out: where files can be got
``publisher``  how it is published
"""
