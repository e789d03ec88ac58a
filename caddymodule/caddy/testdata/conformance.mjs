// Runs the command line of @modelcontextprotocol/conformance, on Node 20 too,
// whose fs lacks a function that the tool imports and that no scenario calls.
import { register } from 'node:module'
import './loopback.mjs'

const fs = 'data:text/javascript,' + encodeURIComponent(`
  export * from 'node:fs'
  export { default } from 'node:fs'
  export const globSync = undefined`)
register('data:text/javascript,' + encodeURIComponent(`
  export const resolve = (specifier, context, next) =>
    specifier === 'fs' ? { url: ${JSON.stringify(fs)}, shortCircuit: true } : next(specifier, context)`))
await import('./node_modules/@modelcontextprotocol/conformance/dist/index.js')
