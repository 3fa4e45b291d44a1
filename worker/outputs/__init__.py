"""Files: what a run made, downloaded, looked at, and written for whoever asks.

``download``    where bytes come from, within bounds
``formats``     what a downloaded file is, by its bytes
``glb``         pure: whether a GLB is whole, and what is in it
``scene``       pure: whether the JSON of a glTF fits together
``gltf``        pure: its buffers, views and accessors, each within what it lies in
``meshes``      pure: what its meshes draw
``positions``   pure: where their corners are, and which of them are named
``placing``     pure: where its nodes put them
``ply``         pure: what is in a PLY, a mesh or splats
``ply_header``  pure: its form, and what its elements are made of
``polygons``    pure: its faces
``obj``         pure: what is in an OBJ
``stl``         pure: what is in an STL
``zips``        pure: whether a ZIP is whole, and safe to be opened
``arrays``      pure: columns of numbers in a file, looked at piece by piece
``lines``       pure: models that are text, line by line
``unfit``       pure: what does not fit a file, as a sentence
``stores``      where the bytes of files are: once each, under what they hold
``database_store``  files that PostgreSQL keeps, in chunks
``object_store``    files in S3 and its like, or in a folder
``links``       where a file can be got by others, for a while
``serving``     what the file server answers
``file_server`` its connections, within bounds
``fetching``    files that are got by their links
``copying``     files as the database and its store have them
``saving``      a file on a disk: complete or not there
``gathering``   what a run made, for one caller who waits
``preview``     a picture of a GLB, rendered on the CPU
"""
