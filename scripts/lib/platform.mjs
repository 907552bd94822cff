/** The name of this machine's platform as the prebuilt packages use it, for example `linux-x64-musl`. */

/** True when Node.js itself was built against musl; the report names glibc's version otherwise. */
function isMusl() {
  return process.platform === 'linux' && !process.report.getReport().header.glibcVersionRuntime
}

/** The platform's triple in the short form that @napi-rs/cli gives to packages and files. */
export function platformName() {
  const { platform, arch } = process
  if (platform === 'linux') return `linux-${arch}-${isMusl() ? 'musl' : 'gnu'}`
  if (platform === 'win32') return `win32-${arch}-msvc`
  return `${platform}-${arch}`
}
