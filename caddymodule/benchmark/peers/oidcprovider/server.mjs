// An OpenID Provider made of oidc-provider, for comparison: a client for
// client_credentials with opaque tokens, and one for the code flow, whose user
// signs in on the library's own development pages. Its store is the default
// adapter, which is memory: nothing is durable, and old tokens are forgotten.
// One process.
//
// Arguments: port, client_id, client_secret, scope, client_id and redirect_uri
// of the code flow.
import Provider from 'oidc-provider';

const [port, id, secret, scope, flow, redirect] = process.argv.slice(2);

const provider = new Provider(`http://localhost:${port}`, {
  clients: [{
    client_id: id,
    client_secret: secret,
    grant_types: ['client_credentials'],
    response_types: [],
    redirect_uris: [],
    scope,
  }, {
    client_id: flow,
    client_secret: secret,
    grant_types: ['authorization_code'],
    response_types: ['code'],
    redirect_uris: [redirect],
  }],
  clientDefaults: { id_token_signed_response_alg: 'ES256' },
  jwks: { keys: [await ecKey()] },
  scopes: ['openid', 'email', scope],
  claims: { openid: ['sub'], email: ['email'] },
  findAccount: (_, sub) => ({ accountId: sub, claims: () => ({ sub, email: 'alice@example.com' }) }),
  features: {
    clientCredentials: { enabled: true },
    devInteractions: { enabled: true },
  },
});

async function ecKey() {
  const pair = await crypto.subtle.generateKey({ name: 'ECDSA', namedCurve: 'P-256' }, true, ['sign', 'verify']);
  const { kty, crv, x, y, d } = await crypto.subtle.exportKey('jwk', pair.privateKey);
  return { kty, crv, x, y, d, use: 'sig', alg: 'ES256' };
}

provider.listen(Number(port), '127.0.0.1');
