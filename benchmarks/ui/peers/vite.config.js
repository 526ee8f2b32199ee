export default { base: "/peers/", build: { outDir: "dist", chunkSizeWarningLimit: 9000 } };
