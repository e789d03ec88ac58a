// Runs oauth4webapi against an issuer, and prints what it found.
import * as oauth from 'oauth4webapi'
import { authorize } from './person.mjs'

const { ISSUER, API, CLIENT_ID, CLIENT_SECRET, REDIRECT_URI, USERNAME, PASSWORD, SERVICE_ID, SERVICE_SECRET, AUTH_METHOD } = process.env
const options = { [oauth.allowInsecureRequests]: true } // http on loopback
const issuer = new URL(ISSUER)
const as = await oauth.processDiscoveryResponse(issuer, await oauth.discoveryRequest(issuer, { ...options, algorithm: 'oauth2' }))
const same = await oauth.processDiscoveryResponse(issuer, await oauth.discoveryRequest(issuer, { ...options, algorithm: 'oidc' }))
if (JSON.stringify(as) !== JSON.stringify(same)) throw new Error('the two discovery documents differ')

const alg = { es: 'ES256', ed: 'EdDSA' }[CLIENT_ID] ?? 'RS256'
const client = { client_id: CLIENT_ID, id_token_signed_response_alg: alg }
const auth = !CLIENT_SECRET ? oauth.None() : AUTH_METHOD === 'client_secret_post' ? oauth.ClientSecretPost(CLIENT_SECRET) : oauth.ClientSecretBasic(CLIENT_SECRET)

const verifier = oauth.generateRandomCodeVerifier()
const state = oauth.generateRandomState()
const nonce = oauth.generateRandomNonce()
const address = new URL(as.authorization_endpoint)
address.search = new URLSearchParams({
  response_type: 'code', client_id: CLIENT_ID, redirect_uri: REDIRECT_URI, scope: 'openid profile email offline_access orders:read',
  state, nonce, code_challenge: await oauth.calculatePKCECodeChallenge(verifier), code_challenge_method: 'S256',
})
const answer = await authorize(address, USERNAME, PASSWORD)
let wrongState = 'accepted'
try {
  oauth.validateAuthResponse(as, client, answer, 'another')
} catch {
  wrongState = 'refused'
}
const parameters = oauth.validateAuthResponse(as, client, answer, state) // checks iss, which the metadata promises
const response = await oauth.authorizationCodeGrantRequest(as, client, auth, parameters, REDIRECT_URI, verifier, options)

const tokens = await oauth.processAuthorizationCodeResponse(as, client, response, { expectedNonce: nonce, requireIdToken: true })
await oauth.validateApplicationLevelSignature(as, response, options)
const claims = oauth.getValidatedIdTokenClaims(tokens)
const header = JSON.parse(Buffer.from(tokens.id_token.split('.')[0], 'base64url'))
const user = await oauth.processUserInfoResponse(as, client, claims.sub, await oauth.userInfoRequest(as, client, tokens.access_token, options))

const refresh = async (token) =>
  oauth.processRefreshTokenResponse(as, client, await oauth.refreshTokenGrantRequest(as, client, auth, token, options))
const refreshed = await refresh(tokens.refresh_token)
const call = async (token) =>
  oauth.protectedResourceRequest(token, 'GET', new URL(API), undefined, undefined, options).then((r) => r.status, (e) => e.status ?? e.response?.status)
const api = await call(refreshed.access_token)
const introspect = async (token) => CLIENT_SECRET
  ? (await oauth.processIntrospectionResponse(as, client, await oauth.introspectionRequest(as, client, auth, token, options))).active
  : false
const active = await introspect(refreshed.access_token)

let reuse = null
const rotated = 'refresh_token' in refreshed && refreshed.refresh_token !== tokens.refresh_token
if (rotated) {
  await refresh(refreshed.refresh_token)
  reuse = await refresh(tokens.refresh_token).then(() => 'accepted', (e) => e.error)
}
await oauth.processRevocationResponse(await oauth.revocationRequest(as, client, auth, refreshed.access_token, options))
const apiAfterRevocation = await call(refreshed.access_token)
const activeAfterRevocation = await introspect(refreshed.access_token)

const service = { client_id: SERVICE_ID }
const machine = await oauth.processClientCredentialsResponse(as, service,
  await oauth.clientCredentialsGrantRequest(as, service, oauth.ClientSecretBasic(SERVICE_SECRET), { scope: 'orders:read' }, options))

console.log(JSON.stringify({
  sub: claims.sub, alg: header.alg, email: user.email, api, rotated, reuse, wrongState,
  active, apiAfterRevocation, activeAfterRevocation, serviceScope: machine.scope,
}))
