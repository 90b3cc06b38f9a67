import { svelte } from "@sveltejs/vite-plugin-svelte";
import { defineConfig } from "vite";

// `npm run dev` serves the page and asks a studio that runs beside it: `textmill studio --no-open`.
const backend = process.env.TEXTMILL_STUDIO ?? "http://127.0.0.1:8642";

export default defineConfig({
  plugins: [svelte()],
  base: "./",
  build: {
    outDir: "../src/textmill/studio/dist",
    emptyOutDir: true,
    target: "es2022",
    assetsInlineLimit: 0, // the page's Content-Security-Policy has no data: addresses
    modulePreload: { polyfill: false }, // it would be an inline script
    reportCompressedSize: false,
  },
  server: { proxy: { "/api": { target: backend, changeOrigin: true, headers: { origin: backend } } } },
});
