"""Message in: from the wire to a job's row, or to somebody who is told why not, or how a job stands.

``consumer``    the worker's edge to the broker: what Celery may have
``threads``     its slots, and the threads that accept
``hearing``     whether a process hears the queues that it reads
``admission``   pure: what a task message must be, and what Celery gets of it
``inbox``       the plain-JSON inbox
``envelope``    what is around a request or an ask: plain JSON or a CloudEvent
``redelivery``  requests that came back: which killed a worker, and what is told when there are too many
``identity``    pure: what a request is known by
``request``     the schema of a request; bad input becomes ``InvalidMessage``
``images``      what an image in a message may be
``pictures``    pure: what a picture is and how large, by the bytes that say so
``reception``   whatever a sender sends: a request, or an ask about a job
``asking``      an ask about a job is answered
``accept``      a message becomes a row, a duplicate, or a refusal
``keeping``     its photos: in its rows, or in the object store
``fingerprint``  pure: what two requests share that ask for the same
``sharing``     pure: which requests are the same work, so that one paid run can serve them
``duplicates``  what a sender is told whose identity or key is taken
``prepare``     a request from files and fields, checked before it is sent
``fitting``     a photo that can't be sent as it is: too large, or a HEIC
"""
