// Runs oauth4webapi through every flow that it knows, with clients that it
// registers itself, and prints each flow's outcome.
import * as oauth from 'oauth4webapi'
import { Person } from './person.mjs'

const { ISSUER, USERNAME, PASSWORD } = process.env
const issuer = new URL(ISSUER)
const as = await oauth.processDiscoveryResponse(issuer, await oauth.discoveryRequest(issuer))
const redirect_uri = 'https://client.example.com/callback'
const alice = new Person()
const outcome = {}

const pair = await oauth.generateKeyPair('ES256', { extractable: true })
const { kty, crv, x, y } = await crypto.subtle.exportKey('jwk', pair.publicKey)
const jwks = { keys: [{ kty, crv, x, y, alg: 'ES256', use: 'sig', kid: 'one' }] }
const key = { key: pair.privateKey, kid: 'one' }

const register = async (metadata) => oauth.processDynamicClientRegistrationResponse(
  await oauth.dynamicClientRegistrationRequest(as, { redirect_uris: [redirect_uri], ...metadata }))

// flow goes through one authorization and returns its tokens' ID token claims.
async function flow(name, client, auth, { parameters = {}, object = false, hybrid = false, dpop = false, inspector = [client, auth] } = {}) {
  try {
    const proving = dpop ? { DPoP: oauth.DPoP(client, await oauth.generateKeyPair('ES256')) } : {}
    if (dpop) parameters = { ...parameters, dpop_jkt: await proving.DPoP.calculateThumbprint() }
    const verifier = oauth.generateRandomCodeVerifier(), state = oauth.generateRandomState(), nonce = oauth.generateRandomNonce()
    const all = new URLSearchParams({
      response_type: hybrid ? 'code id_token' : 'code', client_id: client.client_id, redirect_uri, state, nonce, prompt: 'consent',
      scope: 'openid profile email offline_access', code_challenge: await oauth.calculatePKCECodeChallenge(verifier), code_challenge_method: 'S256', ...parameters,
    })
    const address = new URL(as.authorization_endpoint)
    address.search = object
      ? new URLSearchParams({ client_id: client.client_id, scope: 'openid', response_type: all.get('response_type'), request: await oauth.issueRequestObject(as, client, all, key) })
      : all
    const answer = await alice.authorize(address, USERNAME, PASSWORD)
    const values = hybrid
      ? await oauth.validateCodeIdTokenResponse(as, client, answer, nonce, state)
      : oauth.validateAuthResponse(as, client, answer instanceof Request ? new URLSearchParams(await answer.text()) : answer, state)
    const response = await oauth.authorizationCodeGrantRequest(as, client, auth, values, redirect_uri, verifier, proving)
    const tokens = await oauth.processAuthorizationCodeResponse(as, client, response, { expectedNonce: nonce, requireIdToken: true })
    await oauth.validateApplicationLevelSignature(as, response)
    const { sub } = oauth.getValidatedIdTokenClaims(tokens)
    const user = await oauth.processUserInfoResponse(as, client, sub, await oauth.userInfoRequest(as, client, tokens.access_token, proving))
    const refreshed = await oauth.processRefreshTokenResponse(as, client, await oauth.refreshTokenGrantRequest(as, client, auth, tokens.refresh_token, proving))
    const introspect = async (token) => oauth.processIntrospectionResponse(as, inspector[0], await oauth.introspectionRequest(as, ...inspector, token))
    const active = await introspect(tokens.refresh_token), access = await introspect(refreshed.access_token)
    await oauth.processRevocationResponse(await oauth.revocationRequest(as, client, auth, tokens.refresh_token))
    const ended = await introspect(tokens.refresh_token)
    const type = dpop ? 'dpop' : 'bearer'
    const bound = tokens.token_type === type && refreshed.token_type === type && access.cnf?.jkt === parameters.dpop_jkt
    outcome[name] = user.email === 'alice@example.com' && active.active && bound && !ended.active ? 'ok' : JSON.stringify({ user, active, access, ended })
  } catch (error) {
    outcome[name] = `${error.name}: ${error.message} ${error.cause?.message ?? ''}`
  }
}

const grants = ['authorization_code', 'refresh_token']
const basic = await register({ grant_types: grants })
await flow('client_secret_basic', basic, oauth.ClientSecretBasic(basic.client_secret))
await flow('form_post', basic, oauth.ClientSecretBasic(basic.client_secret), { parameters: { response_mode: 'form_post' } })
const post = await register({ grant_types: grants, token_endpoint_auth_method: 'client_secret_post' })
await flow('client_secret_post', post, oauth.ClientSecretPost(post.client_secret))
const secretJWT = await register({ grant_types: grants, token_endpoint_auth_method: 'client_secret_jwt' })
await flow('client_secret_jwt', secretJWT, oauth.ClientSecretJwt(secretJWT.client_secret))
const keyJWT = await register({ grant_types: grants, token_endpoint_auth_method: 'private_key_jwt', jwks })
await flow('private_key_jwt', keyJWT, oauth.PrivateKeyJwt(key))
await flow('request object', keyJWT, oauth.PrivateKeyJwt(key), { object: true })
const hybrid = await register({ grant_types: [...grants, 'implicit'], response_types: ['code id_token'] })
await flow('code id_token', hybrid, oauth.ClientSecretBasic(hybrid.client_secret), { hybrid: true })
await flow('code id_token form_post', hybrid, oauth.ClientSecretBasic(hybrid.client_secret), { hybrid: true, parameters: { response_mode: 'form_post' } })
await flow('DPoP', await register({ grant_types: grants, dpop_bound_access_tokens: true, token_endpoint_auth_method: 'none' }), oauth.None(),
  { dpop: true, inspector: [basic, oauth.ClientSecretBasic(basic.client_secret)] })
await flow('DPoP with a secret', basic, oauth.ClientSecretBasic(basic.client_secret), { dpop: true })
for (const alg of ['PS256', 'ES512', 'EdDSA']) {
  const client = await register({ grant_types: grants, id_token_signed_response_alg: alg, userinfo_signed_response_alg: alg })
  await flow(`signed ${alg}`, client, oauth.ClientSecretBasic(client.client_secret))
}

console.log(JSON.stringify(outcome))
