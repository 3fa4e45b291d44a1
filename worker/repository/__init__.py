"""Every query, named like a requirement. Functions take a connection first and never commit.

``intake`` a job's birth · ``jobs`` its life · ``leases`` who has taken it · ``turns`` which is submitted next ·
``submissions`` its POSTs · ``outputs`` its files · ``outbox`` its events · ``retries`` a job in its place ·
``retention`` what is deleted · ``accounts`` who pays · ``budget`` and ``usage`` requests that may be made, and were ·
``outlook`` what is learnt from runs · ``lineage`` which database it is · ``clocks`` its time ·
``reading`` what people look at.
"""
