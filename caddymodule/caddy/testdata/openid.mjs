// Runs openid-client through every flow that it knows, with clients that it
// registers itself, and prints each flow's outcome.
import * as client from 'openid-client'
import { Person } from './person.mjs'

const { ISSUER, USERNAME, PASSWORD } = process.env
const issuer = new URL(ISSUER)
const redirect_uri = 'https://client.example.com/callback'
const strict = { execute: [client.enableNonRepudiationChecks] }
const alice = new Person()
const outcome = {}

const generate = (algorithm, usages) => crypto.subtle.generateKey(algorithm, true, usages)
const keys = {
  RS256: await generate({ name: 'RSASSA-PKCS1-v1_5', hash: 'SHA-256', modulusLength: 2048, publicExponent: new Uint8Array([1, 0, 1]) }, ['sign', 'verify']),
  PS256: await generate({ name: 'RSA-PSS', hash: 'SHA-256', modulusLength: 2048, publicExponent: new Uint8Array([1, 0, 1]) }, ['sign', 'verify']),
  ES256: await generate({ name: 'ECDSA', namedCurve: 'P-256' }, ['sign', 'verify']),
  'RSA-OAEP-256': await generate({ name: 'RSA-OAEP', hash: 'SHA-256', modulusLength: 2048, publicExponent: new Uint8Array([1, 0, 1]) }, ['encrypt', 'decrypt']),
  'ECDH-ES': await generate({ name: 'ECDH', namedCurve: 'P-256' }, ['deriveBits']),
}
const jwk = async (alg, use) => {
  const { kty, n, e, crv, x, y } = await crypto.subtle.exportKey('jwk', keys[alg].publicKey)
  return { kty, n, e, crv, x, y, alg, use, kid: alg }
}
const jwks = { keys: await Promise.all([['RS256', 'sig'], ['PS256', 'sig'], ['ES256', 'sig'], ['RSA-OAEP-256', 'enc'], ['ECDH-ES', 'enc']].map((k) => jwk(...k))) }

async function register(metadata, authentication = client.ClientSecretBasic()) {
  const config = await client.dynamicClientRegistration(issuer, { redirect_uris: [redirect_uri], client_name: 'A client', ...metadata }, authentication, strict)
  return config
}

// signIn goes through one flow and returns the claims of its ID token.
async function signIn(name, config, { prepare = () => {}, parameters = {}, finish, key } = {}) {
  try {
    prepare(config)
    const state = client.randomState(), nonce = client.randomNonce(), verifier = client.randomPKCECodeVerifier()
    const all = {
      redirect_uri, scope: 'openid profile email offline_access', state, nonce, prompt: 'consent',
      code_challenge: await client.calculatePKCECodeChallenge(verifier), code_challenge_method: 'S256', ...parameters,
    }
    const address = key
      ? await client.buildAuthorizationUrlWithJAR(config, all, key)
      : client.buildAuthorizationUrl(config, all)
    const answer = await alice.authorize(address, USERNAME, PASSWORD)
    const checks = { expectedState: state, expectedNonce: nonce, pkceCodeVerifier: verifier, idTokenExpected: true }
    outcome[name] = await (finish ?? code)(config, answer, checks)
  } catch (error) {
    outcome[name] = `${error.name}: ${error.message} ${error.cause?.message ?? ''} ${JSON.stringify(error.cause ?? {})}`
  }
}

async function code(config, answer, checks) {
  const tokens = await client.authorizationCodeGrant(config, answer, checks)
  const { sub } = tokens.claims()
  const user = await client.fetchUserInfo(config, tokens.access_token, sub)
  const refreshed = await client.refreshTokenGrant(config, tokens.refresh_token)
  await client.tokenRevocation(config, refreshed.access_token)
  return user.email === 'alice@example.com' && refreshed.claims().sub === sub ? 'ok' : JSON.stringify({ user, sub })
}

const implicit = async (config, answer, { expectedNonce, expectedState }) =>
  (await client.implicitAuthentication(config, answer, expectedNonce, { expectedState })).sub ? 'ok' : 'no sub'

const grants = ['authorization_code', 'refresh_token']
const basic = await register({ grant_types: grants })
await signIn('code client_secret_basic', basic)
await signIn('code form_post', basic, { parameters: { response_mode: 'form_post' } })
await signIn('code client_secret_post', await register({ grant_types: grants, token_endpoint_auth_method: 'client_secret_post' }, client.ClientSecretPost()))

// With a secret or a key, the client signs an assertion instead of sending it.
const withJWT = async (method, authenticate, more = {}) => {
  const registered = await register({ grant_types: grants, token_endpoint_auth_method: method, jwks, ...more })
  const metadata = registered.clientMetadata()
  return client.discovery(issuer, metadata.client_id, metadata, authenticate(metadata), strict)
}
await signIn('code client_secret_jwt', await withJWT('client_secret_jwt', (m) => client.ClientSecretJwt(m.client_secret)))
for (const alg of ['RS256', 'PS256', 'ES256']) {
  await signIn(`code private_key_jwt ${alg}`, await withJWT('private_key_jwt', () => client.PrivateKeyJwt({ key: keys[alg].privateKey, kid: alg }), { token_endpoint_auth_signing_alg: alg }))
}

// ID tokens and userinfo by every algorithm that openid-client verifies.
for (const alg of ['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512', 'ES256', 'ES384', 'ES512', 'EdDSA']) {
  await signIn(`signed ${alg}`, await register({ grant_types: grants, id_token_signed_response_alg: alg, userinfo_signed_response_alg: alg }))
}
for (const [alg, enc] of [['RSA-OAEP-256', 'A256GCM'], ['ECDH-ES', 'A128GCM']]) {
  await signIn(`encrypted ${alg}`, await register({
    grant_types: grants, jwks, id_token_encrypted_response_alg: alg, id_token_encrypted_response_enc: enc,
    userinfo_signed_response_alg: 'RS256', userinfo_encrypted_response_alg: alg, userinfo_encrypted_response_enc: enc,
  }), { prepare: (c) => client.enableDecryptingResponses(c, [enc], { key: keys[alg].privateKey, alg, kid: alg }) })
}

// Request objects, signed.
for (const alg of ['RS256', 'PS256', 'ES256']) {
  await signIn(`request object ${alg}`, await register({ grant_types: grants, jwks, request_object_signing_alg: alg }), { key: { key: keys[alg].privateKey, kid: alg } })
}

const every = [...grants, 'implicit']
for (const mode of ['fragment', 'form_post']) {
  await signIn(`id_token ${mode}`, await register({ grant_types: every, response_types: ['id_token'] }),
    { prepare: client.useIdTokenResponseType, parameters: { response_mode: mode, code_challenge: '', code_challenge_method: '' }, finish: implicit })
  await signIn(`code id_token ${mode}`, await register({ grant_types: every, response_types: ['code id_token'] }),
    { prepare: client.useCodeIdTokenResponseType, parameters: { response_mode: mode } })
}
await signIn('pairwise', await register({ grant_types: grants, subject_type: 'pairwise' }))
await signIn('claims', basic, {
  parameters: { claims: JSON.stringify({ id_token: { name: { essential: true }, auth_time: null, acr: { values: ['urn:example:password'] } } }), claims_locales: 'ja', max_age: '0' },
  finish: async (config, answer, checks) => {
    const claims = (await client.authorizationCodeGrant(config, answer, { ...checks, maxAge: 60 })).claims()
    return claims.name === 'Alice Liddell' && claims['name#ja'] === 'アリス・リデル' && claims.acr === 'urn:example:password' && claims.auth_time > 0 ? 'ok' : JSON.stringify(claims)
  },
})

const machine = await register({ grant_types: ['client_credentials', 'password'], response_types: [], redirect_uris: [] })
outcome['client_credentials'] = (await client.clientCredentialsGrant(machine, { scope: 'orders:read', resource: 'https://api.example.com/' })).expires_in === 600 ? 'ok' : 'wrong duration'
outcome['password'] = (await client.genericGrantRequest(machine, 'password', { username: USERNAME, password: PASSWORD, scope: 'orders:read' })).scope === 'orders:read' ? 'ok' : 'wrong scope'
outcome['password wrong'] = await client.genericGrantRequest(machine, 'password', { username: USERNAME, password: 'x' }).then(() => 'accepted', (e) => e.error === 'invalid_grant' ? 'ok' : e.error)

console.log(JSON.stringify(outcome))
