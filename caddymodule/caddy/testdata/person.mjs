// People at a browser without JavaScript: each signs in, allows what is asked
// for, and returns what the client's browser is sent.

const unescape = (text) =>
  text.replace(/&#(\d+);/g, (_, n) => String.fromCharCode(n)).replaceAll('&lt;', '<').replaceAll('&gt;', '>')
    .replaceAll('&quot;', '"').replaceAll('&amp;', '&')

function parseForm(page) {
  const form = /<form method="post" action="([^"]*)">(.*?)<\/form>/s.exec(page)
  if (!form) return null
  const fields = new URLSearchParams()
  for (const [, field, value] of form[2].matchAll(/<input type="hidden" name="([^"]*)" value="([^"]*)">/g)) fields.set(field, unescape(value))
  return { action: unescape(form[1]), fields, asksPassword: form[2].includes('name="password"') }
}

export class Person {
  #jar = new Map()

  async request(url, options = {}) {
    const response = await fetch(url, {
      ...options, redirect: 'manual',
      headers: { ...options.headers, Cookie: [...this.#jar].map(([name, value]) => `${name}=${value}`).join('; ') },
    })
    for (const cookie of response.headers.getSetCookie()) {
      const [, name, value] = /^([^=]+)=([^;]*)/.exec(cookie)
      if (/max-age=0/i.test(cookie)) this.#jar.delete(name)
      else this.#jar.set(name, value)
    }
    return response
  }

  // authorize returns the address that the browser is redirected to, or the
  // request that it posts there (form_post).
  async authorize(address, name, password) {
    let url = new URL(address)
    let response = await this.request(url)
    for (let steps = 0; steps < 10; steps++) {
      const location = response.headers.get('location')
      if (location) {
        const next = new URL(location, url)
        if (next.origin !== url.origin) return next
        url = next
        response = await this.request(url)
        continue
      }
      const page = await response.text()
      const form = parseForm(page)
      if (!response.ok || !form) throw new Error(`${response.status} at ${url}: ${page}`)
      const next = new URL(form.action, url)
      if (next.origin !== url.origin) return new Request(next, { method: 'POST', body: form.fields })
      if (form.asksPassword) {
        form.fields.set('username', name)
        form.fields.set('password', password)
      } else form.fields.set('action', 'allow')
      url = next
      response = await this.request(url, { method: 'POST', body: form.fields })
    }
    throw new Error('too many steps')
  }
}

const somebody = new Person()
export const authorize = (...args) => somebody.authorize(...args)
