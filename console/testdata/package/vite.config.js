// Not minified, and React in development mode: its StrictMode runs effects, cleans up and runs them again.
export default {
  define: { 'process.env.NODE_ENV': '"development"' },
  build: { minify: false, rolldownOptions: { input: ['react.html', 'vue.html', 'bare.html'] } },
};
