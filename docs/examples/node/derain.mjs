// Takes the rain out of a PNG with a network exported by `derain models export fast --to onnx`.
//
//   npm install
//   node derain.mjs fast.onnx rainy.png clean.png

import { readFileSync, writeFileSync } from "node:fs";
import ort from "onnxruntime-node";
import { PNG } from "pngjs";

const [model, source, target] = process.argv.slice(2);
if (target === undefined) {
  console.error("usage: node derain.mjs MODEL.onnx RAINY.png CLEAN.png");
  process.exit(2);
}

const png = PNG.sync.read(readFileSync(source)); // 8 bits, RGBA
const pixels = png.width * png.height;

// Pixels lie together in a PNG; the network takes one plane per colour, values from 0 to 1.
const planes = new Float32Array(3 * pixels);
for (let i = 0; i < pixels; i++) {
  for (let colour = 0; colour < 3; colour++) {
    planes[colour * pixels + i] = png.data[4 * i + colour] / 255;
  }
}

const session = await ort.InferenceSession.create(model);
const rainy = new ort.Tensor("float32", planes, [1, 3, png.height, png.width]);
const { derained } = await session.run({ rainy }, ["derained"]);

// The network does not clamp; Uint8ClampedArray clamps and rounds. Alpha stays as it was.
const levels = Uint8ClampedArray.from(derained.data, (value) => 255 * value);
for (let i = 0; i < pixels; i++) {
  for (let colour = 0; colour < 3; colour++) {
    png.data[4 * i + colour] = levels[colour * pixels + i];
  }
}
writeFileSync(target, PNG.sync.write(png));
