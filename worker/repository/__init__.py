"""Every query, named like a requirement. Functions take a connection first and never commit.

``jobs`` a job's life · ``intake`` its birth · ``submissions`` its POSTs · ``outputs`` its files ·
``outbox`` its events · ``accounts`` who pays · ``lineage`` which database it is · ``reading`` what people look at.
"""
