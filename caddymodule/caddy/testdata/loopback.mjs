// Ends a program that calls another machine.
import { subscribe } from 'node:diagnostics_channel'

subscribe('undici:client:beforeConnect', ({ connectParams: { hostname } }) => {
  if (['localhost', '127.0.0.1', '[::1]', '::1'].includes(hostname)) return
  console.error(`${hostname} is not this machine`)
  process.exit(1)
})
