// Write the GLBs of this folder that @gltf-transform makes: `node write.mjs FOLDER` (README.md says what to install).
import { writeFileSync } from 'node:fs';
import { Accessor, Document, Logger, NodeIO, VertexLayout } from '@gltf-transform/core';
import { EXTMeshoptCompression, KHRDracoMeshCompression, KHRMeshQuantization } from '@gltf-transform/extensions';
import { draco, quantize, reorder } from '@gltf-transform/functions';
import draco3d from 'draco3dgltf';
import { MeshoptDecoder, MeshoptEncoder } from 'meshoptimizer';

const folder = process.argv[2];
const PIXEL = Buffer.from(
    'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR4nGP4z8AAAAMBAQDJ/pLvAAAAAElFTkSuQmCC', 'base64');

function sphere(rows = 6, columns = 9) {
    const places = [], colours = [], coordinates = [], corners = [];
    for (let row = 0; row <= rows; row++) {
        for (let column = 0; column <= columns; column++) {
            const up = (Math.PI * row) / rows, around = (2 * Math.PI * column) / columns;
            places.push(Math.sin(up) * Math.cos(around), Math.cos(up), Math.sin(up) * Math.sin(around));
            colours.push(30 * row, 20 * column, 128, 255);
            coordinates.push(column / columns, row / rows);
            const at = row * (columns + 1) + column;
            if (row < rows && column < columns) {
                corners.push(at, at + 1, at + columns + 1, at + 1, at + columns + 2, at + columns + 1);
            }
        }
    }
    return { places: new Float32Array(places), colours: new Uint8Array(colours), coordinates: new Float32Array(coordinates),
        corners: new Uint16Array(corners) };
}

function coloured() {
    const document = new Document().setLogger(new Logger(Logger.Verbosity.SILENT));
    const made = sphere(), buffer = document.createBuffer();
    const array = (type, values) => document.createAccessor().setType(type).setArray(values).setBuffer(buffer);
    const primitive = document.createPrimitive()
        .setAttribute('POSITION', array(Accessor.Type.VEC3, made.places))
        .setAttribute('COLOR_0', array(Accessor.Type.VEC4, made.colours).setNormalized(true))
        .setIndices(array(Accessor.Type.SCALAR, made.corners));
    const node = document.createNode('object').setMesh(document.createMesh('object').addPrimitive(primitive));
    document.getRoot().setDefaultScene(document.createScene().addChild(node));
    return { document, primitive, node, array, made };
}

async function write(name, document, io = new NodeIO()) {
    writeFileSync(`${folder}/${name}.glb`, await io.writeBinary(document));
}

await write('interleaved', coloured().document);
await write('separate', coloured().document, new NodeIO().setVertexLayout(VertexLayout.SEPARATE));

const textured = coloured();
const texture = textured.document.createTexture('photo').setImage(PIXEL).setMimeType('image/png');
textured.primitive.setMaterial(textured.document.createMaterial().setBaseColorTexture(texture))
    .setAttribute('TEXCOORD_0', textured.array(Accessor.Type.VEC2, textured.made.coordinates));
await write('textured', textured.document);

const placed = coloured();
const inner = placed.document.createNode('inner').setMesh(placed.node.getMesh()).setScale([2, 1, 1]);
placed.node.setTranslation([10, 0, 0]).setRotation([0, 0, Math.SQRT1_2, Math.SQRT1_2]).addChild(inner);
await write('placed', placed.document);

const sparse = coloured();
const moved = new Float32Array(sparse.made.places.length);
moved.set([5, 6, 7], 3);
moved.set([1, 1, 1], 30);
sparse.primitive.setIndices(null).setAttribute('COLOR_0', null)
    .setAttribute('POSITION', sparse.array(Accessor.Type.VEC3, moved).setSparse(true));
await write('sparse', sparse.document);

const points = coloured();
points.primitive.setMode(0).setIndices(null);
await write('points', points.document);

const io = new NodeIO().registerExtensions([EXTMeshoptCompression, KHRDracoMeshCompression, KHRMeshQuantization])
    .registerDependencies({
        'draco3d.encoder': await draco3d.createEncoderModule(), 'draco3d.decoder': await draco3d.createDecoderModule(),
        'meshopt.encoder': MeshoptEncoder, 'meshopt.decoder': MeshoptDecoder,
    });
await Promise.all([MeshoptEncoder.ready, MeshoptDecoder.ready]);

const small = coloured();
await small.document.transform(quantize());
await write('quantized', small.document, io);

const packed = coloured();
await packed.document.transform(draco());
await write('draco', packed.document, io);

const squeezed = coloured();
await squeezed.document.transform(reorder({ encoder: MeshoptEncoder }), quantize());
squeezed.document.createExtension(EXTMeshoptCompression).setRequired(true)
    .setEncoderOptions({ method: EXTMeshoptCompression.EncoderMethod.QUANTIZE });
await write('meshopt', squeezed.document, io);
