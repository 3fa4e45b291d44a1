"""Files: what a run made, downloaded, looked at, and written for whoever asks.

``download``       where bytes come from, within bounds
``stores``         where the bytes of files are: once each, under what they hold
``database_store`` files that PostgreSQL keeps, in chunks
``object_store``   files in S3 and its like, or in a folder
``sealing``        receipts are signed, and found to be as they were
``deposits``       photos in the object store, for the vendor to fetch
``reaching``       whether others can fetch what an address leads to
``links``          where a file can be got by others, for a while
``serving``        what the file server answers
``file_server``    its connections, within bounds
``fetching``       files that are got by their links
``copying``        files as the database and its store have them
``saving``         a file on a disk: complete or not there
``gathering``      what a run made, for one caller who waits
``preview``        a picture of a GLB, rendered on the CPU
"""
