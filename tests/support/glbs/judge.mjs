// Print what Khronos' validator finds in each GLB of a folder: `node judge.mjs FOLDER`.
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import validator from 'gltf-validator';

const folder = process.argv[2], verdicts = {};
for (const name of readdirSync(folder).filter((each) => each.endsWith('.glb')).sort()) {
    const bytes = readFileSync(`${folder}/${name}`);
    const sha256 = createHash('sha256').update(bytes).digest('hex');
    let errors;
    try {
        const report = await validator.validateBytes(new Uint8Array(bytes), { maxIssues: 10000 });
        errors = report.issues.messages.filter((each) => each.severity === 0).map((each) => each.code);
    } catch (error) {
        errors = ['UNREADABLE'];
    }
    verdicts[name.replace('.glb', '')] = { sha256: sha256.slice(0, 16), errors: [...new Set(errors)].sort() };
}
console.log(JSON.stringify(verdicts, null, 1));
