"""Files: what a run made, downloaded, looked at, and written for whoever asks.

``download``    where bytes come from, within bounds
``formats``     what a downloaded file is, by its bytes
``glb``         pure: whether a GLB is whole
``zips``        pure: whether a ZIP is whole, and safe to be opened
``stores``      where the bytes of files are: once each, under what they hold
``database_store``  files that PostgreSQL keeps, in chunks
``object_store``    files in S3 and its like, or in a folder
``links``       where a file can be got by others, for a while
``serving``     what the file server answers
``file_server`` its connections, within bounds
``fetching``    files that are got by their links
``saving``      a file on a disk: complete or not there
``preview``     a picture of a GLB, rendered on the CPU
"""
