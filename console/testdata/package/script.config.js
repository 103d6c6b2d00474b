// Bundles a script that a page loads without type="module".
export default { build: { outDir: 'script', lib: { entry: 'script.js', formats: ['iife'], name: 'script', fileName: () => 'script.js' } } };
