/** Velocity, redshift and air wavelengths: relativistic, as `measure/doppler.py` and `airvac.py`. */

export const C_KMS = 299_792.458;

/** Redshift of a purely radial velocity in km/s: 1 + z = √((1+β)/(1−β)). */
export function redshiftOf(velocityKms: number): number {
  return Math.expm1(Math.atanh(velocityKms / C_KMS));
}

/** Radial velocity in km/s of a redshift above −1. */
export function velocityOf(z: number): number {
  return C_KMS * Math.tanh(Math.log1p(z));
}

/** Velocity in km/s that moves a vacuum line at rest to where it is seen in vacuum. */
export function lineVelocity(seenVacAa: number, restVacAa: number): number {
  return velocityOf(seenVacAa / restVacAa - 1);
}

export type Medium = "air" | "vacuum" | "unknown";

// Morton 2000, ApJS 130, 403, eq. 8; valid 2000–30 000 Å, beyond which wavelengths stay.
const LOW_AA = 2000;
const HIGH_AA = 30_000;

function index(vacAa: number): number {
  const sigma2 = (1e4 / vacAa) ** 2;
  return 1 + 8.34254e-5 + 2.406147e-2 / (130 - sigma2) + 1.5998e-4 / (38.9 - sigma2);
}

/** Wavelength in standard air, Å, of a vacuum wavelength. */
export function vacToAir(vacAa: number): number {
  return vacAa >= LOW_AA && vacAa <= HIGH_AA ? vacAa / index(vacAa) : vacAa;
}

/** Vacuum wavelength, Å, of one in standard air: the inverse of `vacToAir`, to 1e-11 Å. */
export function airToVac(airAa: number): number {
  if (airAa < LOW_AA / index(LOW_AA) || airAa > HIGH_AA / index(HIGH_AA)) return airAa;
  let vac = airAa;
  for (let step = 0; step < 6; step++) vac = airAa * index(vac);
  return vac;
}

/** Where a line at rest (vacuum Å) is seen at redshift z on an axis in this medium. */
export function seenAt(restVacAa: number, z: number, medium: Medium): number {
  const vac = restVacAa * (1 + z);
  return medium === "air" ? vacToAir(vac) : vac;
}

/** Rest wavelength of a seen one, both on the axis's own medium. */
export function atRest(seenAa: number, z: number, medium: Medium): number {
  return medium === "air" ? vacToAir(airToVac(seenAa) / (1 + z)) : seenAa / (1 + z);
}

/** Seen wavelength of a rest one, both on the axis's own medium: the inverse of `atRest`. */
export function fromRest(restAa: number, z: number, medium: Medium): number {
  return medium === "air" ? vacToAir(airToVac(restAa) * (1 + z)) : restAa * (1 + z);
}
