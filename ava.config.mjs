/** ava runs the TypeScript tests through tsx in child processes; worker threads would bypass the loader. */
export default {
  extensions: { ts: 'module' },
  files: ['__test__/**/*.test.ts'],
  nodeArguments: ['--import=tsx'],
  timeout: '5m',
  workerThreads: false,
}
