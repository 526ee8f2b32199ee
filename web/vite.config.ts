import { svelte } from '@sveltejs/vite-plugin-svelte'
import { defineConfig, loadEnv } from 'vite'

// SPECTRARIUM_DEV: the address of a running `spectrarium serve`, for `npm run dev` only.
export default defineConfig(({ mode }) => {
  const server = loadEnv(mode, '.', 'SPECTRARIUM_').SPECTRARIUM_DEV ?? 'http://127.0.0.1:8000'
  return {
    plugins: [svelte()],
    build: {
      outDir: '../src/spectrarium/serve/page',
      emptyOutDir: true,
      target: 'es2022',
      assetsInlineLimit: 0, // a data: address for a font or script would break the page's policy
      modulePreload: { polyfill: false },
      reportCompressedSize: true,
      license: { fileName: 'licenses.md' }, // what the bundled libraries want to be told with them
    },
    server: {
      port: 8711,
      proxy: {
        '/api': {
          target: server,
          changeOrigin: true,
          // The server refuses foreign origins; in development the page's origin is Vite's.
          headers: { origin: server },
        },
      },
    },
  }
})
