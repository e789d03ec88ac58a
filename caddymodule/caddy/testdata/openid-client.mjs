// Runs openid-client against an issuer, and prints what it found.
import * as client from 'openid-client'
import { authorize } from './person.mjs'

const { ISSUER, API, CLIENT_ID, CLIENT_SECRET, REDIRECT_URI, USERNAME, PASSWORD, SERVICE_ID, SERVICE_SECRET, AUTH_METHOD } = process.env
const insecure = { execute: [client.allowInsecureRequests, client.enableNonRepudiationChecks] } // http on loopback; check signatures too
const auth = !CLIENT_SECRET ? client.None() : AUTH_METHOD === 'client_secret_post' ? client.ClientSecretPost(CLIENT_SECRET) : client.ClientSecretBasic(CLIENT_SECRET)
const alg = { es: 'ES256', ed: 'EdDSA' }[CLIENT_ID] ?? 'RS256'
const config = await client.discovery(new URL(ISSUER), CLIENT_ID, { id_token_signed_response_alg: alg }, auth, insecure)

const verifier = client.randomPKCECodeVerifier()
const state = client.randomState()
const nonce = client.randomNonce()
const address = client.buildAuthorizationUrl(config, {
  redirect_uri: REDIRECT_URI, scope: 'openid profile email offline_access orders:read', state, nonce,
  code_challenge: await client.calculatePKCECodeChallenge(verifier), code_challenge_method: 'S256', max_age: '600',
})
const answer = await authorize(address, USERNAME, PASSWORD)
const wrongState = await client.authorizationCodeGrant(config, answer, { pkceCodeVerifier: verifier, expectedState: 'another', expectedNonce: nonce })
  .then(() => 'accepted', () => 'refused')
const tokens = await client.authorizationCodeGrant(config, answer, { pkceCodeVerifier: verifier, expectedState: state, expectedNonce: nonce, maxAge: 600 })
const { sub } = tokens.claims()
const header = JSON.parse(Buffer.from(tokens.id_token.split('.')[0], 'base64url'))
const user = await client.fetchUserInfo(config, tokens.access_token, sub)

const refreshed = await client.refreshTokenGrant(config, tokens.refresh_token)
const api = await client.fetchProtectedResource(config, refreshed.access_token, new URL(API), 'GET')
const introspect = async (token) => CLIENT_SECRET ? (await client.tokenIntrospection(config, token)).active : false
const active = await introspect(refreshed.access_token)

let reuse = null
const rotated = 'refresh_token' in refreshed && refreshed.refresh_token !== tokens.refresh_token
if (rotated) {
  await client.refreshTokenGrant(config, refreshed.refresh_token)
  reuse = await client.refreshTokenGrant(config, tokens.refresh_token).then(() => 'accepted', (e) => e.error)
}
await client.tokenRevocation(config, refreshed.access_token)
const apiAfterRevocation = await client.fetchProtectedResource(config, refreshed.access_token, new URL(API), 'GET')
  .then((r) => r.status, (e) => e.response?.status ?? e.status)
const activeAfterRevocation = await introspect(refreshed.access_token)

const service = await client.discovery(new URL(ISSUER), SERVICE_ID, SERVICE_SECRET, client.ClientSecretBasic(SERVICE_SECRET), { ...insecure, algorithm: 'oauth2' })
const machine = await client.clientCredentialsGrant(service, { scope: 'orders:read' })

console.log(JSON.stringify({
  sub, alg: header.alg, email: user.email, api: api.status, rotated, reuse, wrongState,
  active, apiAfterRevocation, activeAfterRevocation, serviceScope: machine.scope,
}))
