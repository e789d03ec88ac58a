// A public client in the browser: authorization code with PKCE (RFC 7636),
// without a framework. Tokens stay in memory and in sessionStorage of this tab.

const issuer = 'http://localhost:8080'
const api = 'http://localhost:8081/orders'
const client = 'browser-app'
const redirect = new URL('/', location.href).href
const scope = 'openid profile email orders:read'

const $ = (id) => document.getElementById(id)
const base64url = (bytes) =>
  btoa(String.fromCharCode(...new Uint8Array(bytes))).replaceAll('+', '-').replaceAll('/', '_').replaceAll('=', '')
const random = () => base64url(crypto.getRandomValues(new Uint8Array(32)))

// discover reads the server's endpoints (RFC 8414) and makes sure that the
// document is the issuer's own (§3.3).
async function discover() {
  const response = await fetch(`${issuer}/.well-known/oauth-authorization-server`)
  const metadata = await response.json()
  if (metadata.issuer !== issuer) throw new Error('the metadata belongs to another issuer')
  return metadata
}

async function signIn(metadata) {
  const pending = { state: random(), nonce: random(), verifier: random() }
  sessionStorage.setItem('pending', JSON.stringify(pending))
  const challenge = await crypto.subtle.digest('SHA-256', new TextEncoder().encode(pending.verifier))
  const request = new URL(metadata.authorization_endpoint)
  request.search = new URLSearchParams({
    response_type: 'code', client_id: client, redirect_uri: redirect, scope,
    state: pending.state, nonce: pending.nonce,
    code_challenge: base64url(challenge), code_challenge_method: 'S256',
  })
  location.assign(request)
}

// finish handles the authorization response, if this page was opened by one.
async function finish(metadata) {
  const answer = new URLSearchParams(location.search)
  if (!answer.has('state')) return
  history.replaceState(null, '', redirect) // the code goes out of the address bar
  const pending = JSON.parse(sessionStorage.getItem('pending') ?? 'null')
  sessionStorage.removeItem('pending')
  if (!pending || answer.get('state') !== pending.state) throw new Error('the answer belongs to no request of this tab')
  if (answer.get('iss') !== issuer) throw new Error('the answer comes from another issuer') // RFC 9207
  if (answer.has('error')) throw new Error(answer.get('error_description') ?? answer.get('error'))
  const tokens = await post(metadata.token_endpoint, {
    grant_type: 'authorization_code', code: answer.get('code'), redirect_uri: redirect,
    client_id: client, code_verifier: pending.verifier,
  })
  const claims = readIDToken(tokens.id_token)
  if (claims.iss !== issuer || claims.aud !== client || claims.nonce !== pending.nonce) throw new Error('the ID token is not for this request')
  sessionStorage.setItem('token', tokens.access_token)
}

// readIDToken decodes an ID token. It came straight from the token endpoint,
// so its signature need not be checked (OpenID Connect Core §3.1.3.7).
function readIDToken(token) {
  const payload = token.split('.')[1].replaceAll('-', '+').replaceAll('_', '/')
  return JSON.parse(new TextDecoder().decode(Uint8Array.from(atob(payload), (c) => c.charCodeAt(0))))
}

async function post(address, parameters) {
  const response = await fetch(address, { method: 'POST', body: new URLSearchParams(parameters) })
  const text = await response.text()
  if (!response.ok) throw new Error(JSON.parse(text).error_description)
  return text === '' ? {} : JSON.parse(text)
}

async function callAPI() {
  const response = await fetch(api, { headers: { Authorization: `Bearer ${sessionStorage.getItem('token')}` } })
  $('answer').textContent = response.ok ? JSON.stringify(await response.json(), null, 2) : `${response.status} ${response.statusText}`
}

async function signOut(metadata) {
  await post(metadata.revocation_endpoint, { token: sessionStorage.getItem('token'), client_id: client })
  sessionStorage.removeItem('token')
  location.assign(`${issuer}/end_session`)
}

async function show(metadata) {
  const token = sessionStorage.getItem('token')
  let user = null
  if (token) {
    const response = await fetch(metadata.userinfo_endpoint, { headers: { Authorization: `Bearer ${token}` } })
    if (response.ok) user = await response.json()
    else sessionStorage.removeItem('token')
  }
  $('user').textContent = user?.name ?? user?.sub ?? ''
  $('signed-in').hidden = !user
  $('signed-out').hidden = !!user
  $('status').textContent = ''
}

async function main() {
  const metadata = await discover()
  $('sign-in').addEventListener('click', () => signIn(metadata).catch(fail))
  $('sign-out').addEventListener('click', () => signOut(metadata).catch(fail))
  $('call').addEventListener('click', () => callAPI().catch(fail))
  try {
    await finish(metadata)
  } finally {
    await show(metadata)
  }
}

function fail(error) {
  $('status').textContent = `Something went wrong: ${error.message}`
}

main().catch(fail)
