// A certified OpenID Connect provider on a free port of this machine; prints its issuer.
// The last part of a resource's URL is the algorithm of its access tokens.
import { generateKeyPairSync } from 'node:crypto';
import { createServer } from 'node:http';
import * as oidc from 'oidc-provider';

const Provider = oidc.Provider ?? oidc.default;
const CLAIMS = { org: { id: 'acme' }, roles: ['parley-admins', 'others'] };

function key(kid, alg, type, options) {
  const { privateKey } = generateKeyPairSync(type, options);
  return { ...privateKey.export({ format: 'jwk' }), kid, alg, use: 'sig' };
}

const configuration = {
  jwks: {
    keys: [
      key('rs', 'RS256', 'rsa', { modulusLength: 2048 }),
      key('ps', 'PS256', 'rsa', { modulusLength: 2048 }),
      key('e2', 'ES256', 'ec', { namedCurve: 'P-256' }),
      key('e3', 'ES384', 'ec', { namedCurve: 'P-384' }),
      key('ed', 'EdDSA', 'ed25519'),
    ],
  },
  clients: [
    {
      client_id: 'page',
      application_type: 'native',
      token_endpoint_auth_method: 'none',
      grant_types: ['authorization_code'],
      response_types: ['code'],
      redirect_uris: ['http://127.0.0.1/callback'],
    },
    {
      client_id: 'program',
      client_secret: 'a secret of a program',
      grant_types: ['client_credentials'],
      response_types: [],
      redirect_uris: [],
    },
  ],
  cookies: { keys: ['test'] },
  findAccount: (_, id) => ({ accountId: id, claims: () => ({ sub: id }) }),
  extraTokenClaims: () => CLAIMS,
  enabledJWA: { idTokenSigningAlgValues: ['RS256', 'PS256', 'ES256', 'ES384', 'EdDSA'] },
  features: {
    clientCredentials: { enabled: true },
    devInteractions: { enabled: true },
    resourceIndicators: {
      enabled: true,
      useGrantedResource: () => true,
      getResourceServerInfo: (_, resource) => ({
        audience: 'parley',
        scope: 'chat',
        accessTokenFormat: 'jwt',
        jwt: { sign: { alg: resource.split('/').at(-1) } },
      }),
    },
  },
};

const server = createServer();
server.listen(0, '127.0.0.1', () => {
  const issuer = `http://127.0.0.1:${server.address().port}`;
  server.on('request', new Provider(issuer, configuration).callback());
  console.log(`issuer ${issuer}`);
});
