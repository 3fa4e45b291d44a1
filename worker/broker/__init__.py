"""RabbitMQ: its names and shapes, how it is reached, how everything is published, and where what nobody reads goes.

``topology``      the names and shapes of exchanges, queues and the delay ladder
``connection``    how the broker is reached, and why it is not, in words
``tls``           how it is verified, and that its settings are usable
``login``         whom the broker knows us as
``frames``        what comes over the wire, before a library unpacks it
``delivery``      a message as it was delivered: what it holds, and by what way it came
``publishing``    how everything is published: confirmed, within bounds
``batches``       messages that are published together, with one wait for their confirms
``next_message``  the message of a step
``quarantine``    where messages go that nobody can read
``dead_letters``  what is there, and how it goes back
"""
