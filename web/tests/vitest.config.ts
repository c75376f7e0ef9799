import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    // One stack and one browser for each file; two cores do not carry two of them.
    fileParallelism: false,
    hookTimeout: 180_000,
    testTimeout: 60_000,
    // A second, the default, is not enough on a machine that is busy.
    expect: { poll: { timeout: 15_000 } },
    // As the Python tests in .ci/run: by chance once is no reason to lose a run, twice is a failure.
    retry: process.env.CI ? 1 : 0,
    include: ['**/*.test.ts'],
  },
});
