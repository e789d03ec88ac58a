// A person at a browser without JavaScript: signs in, allows what is asked for,
// and returns the address to which the client's browser is sent.

const jar = new Map()

async function request(url, options = {}) {
  const response = await fetch(url, {
    ...options, redirect: 'manual',
    headers: { ...options.headers, Cookie: [...jar].map(([name, value]) => `${name}=${value}`).join('; ') },
  })
  for (const cookie of response.headers.getSetCookie()) {
    const [, name, value] = /^([^=]+)=([^;]*)/.exec(cookie)
    if (/max-age=0/i.test(cookie)) jar.delete(name)
    else jar.set(name, value)
  }
  return response
}

const unescape = (text) =>
  text.replace(/&#(\d+);/g, (_, n) => String.fromCharCode(n)).replaceAll('&lt;', '<').replaceAll('&gt;', '>').replaceAll('&quot;', '"').replaceAll('&amp;', '&')

export async function authorize(address, name, password) {
  let url = new URL(address)
  let response = await request(url)
  for (let steps = 0; steps < 10; steps++) {
    const location = response.headers.get('location')
    if (location) {
      const next = new URL(location, url)
      if (next.origin !== url.origin) return next
      url = next
      response = await request(url)
      continue
    }
    const page = await response.text()
    const form = /<form method="post" action="([^"]*)">(.*?)<\/form>/s.exec(page)
    if (!response.ok || !form) throw new Error(`${response.status} at ${url}: ${page}`)
    const fields = new URLSearchParams()
    for (const [, field, value] of form[2].matchAll(/<input type="hidden" name="([^"]*)" value="([^"]*)">/g)) fields.set(field, unescape(value))
    if (form[2].includes('name="password"')) {
      fields.set('username', name)
      fields.set('password', password)
    } else fields.set('action', 'allow')
    url = new URL(unescape(form[1]), url)
    response = await request(url, { method: 'POST', body: fields })
  }
  throw new Error('too many steps')
}
