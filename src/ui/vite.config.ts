import { defineConfig } from 'vite';

/** Where the service runs that `npm run dev:ui` asks. */
const SERVICE = process.env.CLOCKTICK_URL || 'http://127.0.0.1:3000';

/*
 * `npm run build` makes dist/ui of this folder, which the service serves at /ui/. `npm run dev:ui` serves the sources as they are edited, at the
 * same path, and passes everything else on to a running service.
 */
export default defineConfig(({ command }) => ({
  // Relative, so that the page works behind a proxy that adds a path.
  base: command === 'serve' ? '/ui/' : './',
  build: {
    outDir: '../../dist/ui',
    emptyOutDir: true,
    // All files lie beside the page: the service knows them by their names.
    assetsDir: '',
    // What is inlined would be a data: URL, and the policy of the page has none but for images.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    reportCompressedSize: false,
    // The licences of what is bundled ask for that.
    license: { fileName: 'licenses.md' },
  },
  server: { proxy: { '^/(?!ui/)': SERVICE } },
}));
