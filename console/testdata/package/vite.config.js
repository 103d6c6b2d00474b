// Not minified, and React as developers run it: its StrictMode has effects come, go and come again.
export default {
  define: { 'process.env.NODE_ENV': '"development"' },
  build: { minify: false, rolldownOptions: { input: ['react.html', 'vue.html', 'bare.html'] } },
};
