"""What a file is, and whether it is a sound 3D model: pure, over bytes that a stranger sent.

``formats``     what a downloaded file is, by its bytes
``glb``         whether a GLB is whole, and what is in it
``scene``       whether the JSON of a glTF fits together
``gltf``        its buffers, views and accessors, each within what it lies in
``meshes``      what its meshes draw
``positions``   where their corners are, and which of them are named
``placing``     where its nodes put them
``ply``         what is in a PLY, a mesh or splats
``ply_header``  its form, and what its elements are made of
``polygons``    its faces
``obj``         what is in an OBJ
``stl``         what is in an STL
``zips``        whether a ZIP is whole, and safe to be opened
``arrays``      columns of numbers in a file, looked at piece by piece
``lines``       models that are text, line by line
``unfit``       what does not fit a file, as a sentence
"""
