import { defineConfig } from 'vitest/config';

// Names without hashes: the built files are committed, and the plugin serves them from a fixed list.
export default defineConfig({
  base: './',
  oxc: { jsx: { runtime: 'automatic', importSource: 'preact' } },
  worker: { format: 'es' },
  build: {
    outDir: '../tb_netviz_plugin/static',
    emptyOutDir: true,
    target: 'es2022',
    modulePreload: false,
    cssCodeSplit: false,
    assetsInlineLimit: 0,
    reportCompressedSize: true,
    // The notices of the packages that are built in, which their licences ask for.
    license: { fileName: 'licenses.txt' },
    // three.js, which is loaded when points are shown.
    chunkSizeWarningLimit: 600,
    rolldownOptions: {
      input: 'src/index.tsx',
      // What the entry shares with a chunk that is loaded later stays in the entry.
      preserveEntrySignatures: 'allow-extension',
      output: {
        entryFileNames: 'index.js',
        chunkFileNames: '[name].js',
        assetFileNames: '[name][extname]',
      },
    },
  },
  test: { include: ['src/**/*.test.{ts,tsx}'] },
});
