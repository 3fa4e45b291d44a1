"""Event out: what is announced of a job or an account, and how.

``payloads``   what each announcement says
``publisher``  how it is published
"""
