"""Files: what a run made, downloaded, looked at, and written for whoever asks.

``download``    where bytes come from, within bounds
``formats``     what a downloaded file is, by its bytes
``containers``  pure: whether the parts of a GLB or a ZIP fit together
``saving``      a file on a disk: complete or not there
``preview``     a picture of a GLB, rendered on the CPU
"""
