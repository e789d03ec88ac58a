// Runs the client of @modelcontextprotocol/sdk through the authorization of the
// Model Context Protocol (revision 2025-11-25), and prints of each flow what came
// of it, with every exchange that the client had on the way as a line.
import { Client } from '@modelcontextprotocol/sdk/client/index.js'
import { UnauthorizedError } from '@modelcontextprotocol/sdk/client/auth.js'
import { ClientCredentialsProvider } from '@modelcontextprotocol/sdk/client/auth-extensions.js'
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js'
import './loopback.mjs'
import { Person } from './person.mjs'

const { ISSUER, SERVER, USERNAME, PASSWORD } = process.env
const alice = new Person()
let exchanges

// recorded is fetch. Of a form it notes what the specification asks for.
async function recorded(address, options = {}) {
  const response = await fetch(address, options)
  if (new Headers(options.headers).get('accept') === 'text/event-stream') return response // is opened besides, whenever
  const line = [options.method ?? 'GET', address, response.status, response.headers.get('www-authenticate')]
  if (options.body instanceof URLSearchParams) {
    const { grant_type, resource, code_verifier } = Object.fromEntries(options.body)
    line.push(grant_type, resource, code_verifier && 'code_verifier')
  }
  exchanges.push(line.filter(Boolean).join(' '))
  return response
}

// Provider is a client with a user. It remembers what the SDK gives it.
class Provider {
  expectedIssuer = ISSUER
  redirectUrl = 'http://127.0.0.1:33418/callback'
  asked = []
  constructor(metadata, information) {
    this.clientMetadata = { client_name: 'A client', redirect_uris: [this.redirectUrl], ...metadata }
    this.information = information
  }
  clientInformation() { return this.information }
  saveClientInformation(information) { this.information = information }
  tokens() { return this.issued }
  saveTokens(tokens) { this.issued = tokens }
  codeVerifier() { return this.verifier }
  saveCodeVerifier(verifier) { this.verifier = verifier }
  state() { return this.expected = crypto.randomUUID() }
  async redirectToAuthorization(address) {
    this.asked.push(Object.fromEntries(address.searchParams))
    this.answer = (await alice.authorize(address, USERNAME, PASSWORD)).searchParams
  }
  // code is what the user's browser has brought back.
  code() {
    if (this.answer.get('state') !== this.expected || this.answer.get('iss') !== ISSUER) throw new Error(`the answer is ${this.answer}`)
    return this.answer.get('code')
  }
}

// connect signs in if that is asked for.
async function connect(authProvider, address = SERVER) {
  const open = async () => {
    const transport = new StreamableHTTPClientTransport(new URL(address), { authProvider, fetch: recorded })
    const client = new Client({ name: 'a-client', version: '1.0.0' })
    await client.connect(transport).catch((error) => { throw Object.assign(error, { transport }) })
    return client
  }
  try {
    return await open()
  } catch (error) {
    if (!(error instanceof UnauthorizedError)) throw error
    await error.transport.finishAuth(authProvider.code())
    return open()
  }
}

const tools = async (client) => (await client.listTools()).tools.map((tool) => tool.name).join(' ')
const call = async (client, name, args) => (await client.callTool({ name, arguments: args })).content[0].text

// signIn is for a client that nobody knows.
async function signIn(method) {
  const provider = new Provider({ token_endpoint_auth_method: method })
  const client = await connect(provider)
  const { code_challenge, state, client_id, ...asked } = provider.asked[0]
  return { asked, tools: await tools(client), read: await call(client, 'read_notices') }
}

const flows = {
  none: () => signIn('none'),
  client_secret_basic: () => signIn('client_secret_basic'),
  client_secret_post: () => signIn('client_secret_post'),

  // An access token that has ended is replaced in the middle of a session.
  async refresh() {
    const provider = new Provider({ grant_types: ['authorization_code', 'refresh_token'], token_endpoint_auth_method: 'none' })
    const client = await connect(provider)
    const { issued: { access_token }, information: { client_id } } = provider
    await fetch(`${ISSUER}/revoke`, { method: 'POST', body: new URLSearchParams({ token: access_token, client_id }) })
    exchanges = []
    const read = await call(client, 'read_notices')
    return { read, replaced: provider.issued.access_token !== access_token, asked: provider.asked.length }
  },

  // A client goes back for more when its token does not suffice.
  async 'step up'() {
    const provider = new Provider({}, { client_id: 'notices-cli' })
    const client = await connect(provider)
    exchanges = []
    const admin = await connect(provider, `${SERVER}/admin`)
    const result = { tools: await tools(admin), posted: await call(admin, 'post_notice', { text: 'Mind the step.' }) }
    return { ...result, asked: provider.asked.map(({ scope }) => scope), still: await tools(client) }
  },

  // One that has registered itself must do so again for more than it registered.
  async 'register again'() {
    const provider = new Provider({ token_endpoint_auth_method: 'none' })
    await connect(provider)
    const refused = await connect(provider, `${SERVER}/admin`).then(() => 'let in', (error) => error.constructor.name)
    provider.information = provider.issued = undefined
    return { refused, tools: await tools(await connect(provider, `${SERVER}/admin`)) }
  },

  // A program that acts for itself (MCP's extension OAuth Client Credentials).
  async 'client credentials'() {
    const client = await connect(new ClientCredentialsProvider({
      expectedIssuer: ISSUER, clientId: 'nightly-job', clientSecret: 'nightly-job-secret', scope: 'mcp:tools',
    }))
    return { read: await call(client, 'read_notices') }
  },
}

const outcome = {}
for (const [name, flow] of Object.entries(flows)) {
  exchanges = []
  outcome[name] = await flow().catch((error) => ({ error: error.stack }))
  outcome[name].exchanges = exchanges
}
console.log(JSON.stringify(outcome, null, 1))
process.exit() // streams are open
