// ESLint for the panel's browser code: the recommended rules, and those that find real faults. tsc finds undefined
// names (tsconfig.json). Run both with `make lint`.

import js from "@eslint/js";

export default [
  { ignores: ["panel/static/vendor/**", "**/node_modules/**", "**/.venv*/**", "build/**", "dist/**", "site/**"] },
  js.configs.recommended,
  {
    files: ["panel/static/**/*.js"],
    linterOptions: { reportUnusedDisableDirectives: "error" },
    rules: {
      "no-undef": "off", // tsc
      "no-control-regex": "off", // a terminal's escape sequences are what ansi.js is for
      "no-unused-vars": ["error", { argsIgnorePattern: "^_", varsIgnorePattern: "^_" }],
      "array-callback-return": "error",
      "consistent-return": "error",
      "eqeqeq": "error",
      "no-constructor-return": "error",
      "no-eval": "error",
      "no-implied-eval": "error",
      "no-new-func": "error",
      "no-promise-executor-return": "error",
      "no-self-compare": "error",
      "no-shadow": "error",
      "no-template-curly-in-string": "error",
      "no-unmodified-loop-condition": "error",
      "no-unreachable-loop": "error",
      "no-use-before-define": ["error", { functions: false, classes: false, variables: false }],
      "no-var": "error",
      "prefer-const": "error",
      "radix": "error",
    },
  },
];
