// A token endpoint made of oidc-provider, for comparison: one client,
// client_credentials, opaque tokens. Its store is the default adapter, which
// is memory: nothing is durable, and old tokens are forgotten. One process.
//
// Arguments: port, client_id, client_secret, scope.
import Provider from 'oidc-provider';

const [port, id, secret, scope] = process.argv.slice(2);

const provider = new Provider(`http://localhost:${port}`, {
  clients: [{
    client_id: id,
    client_secret: secret,
    grant_types: ['client_credentials'],
    response_types: [],
    redirect_uris: [],
    scope,
  }],
  scopes: [scope],
  features: {
    clientCredentials: { enabled: true },
    devInteractions: { enabled: false },
  },
});

provider.listen(Number(port), '127.0.0.1');
