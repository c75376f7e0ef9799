import { fileURLToPath } from 'node:url';
import react from '@vitejs/plugin-react';
import { defineConfig } from 'vite';
import { compress } from './build/compress.ts';

const gateway = process.env.PARLEY_WEB_GATEWAY ?? 'http://127.0.0.1:8080';

// The form for browsers decodes `&amp;` by setting innerHTML, which Trusted Types refuse.
const entities = new URL('node_modules/decode-named-character-reference/index.js', import.meta.url);

export default defineConfig({
  resolve: { alias: { 'decode-named-character-reference': fileURLToPath(entities) } },
  plugins: [react(), compress()],
  build: {
    target: 'es2023',
    // Nothing may be inline: the Content-Security-Policy has neither a nonce nor a hash.
    modulePreload: { polyfill: false },
    assetsInlineLimit: 0,
    manifest: true,
    sourcemap: 'hidden',
    reportCompressedSize: false,
  },
  worker: { format: 'es' },
  server: { proxy: { '/v1': { target: gateway } } },
});
