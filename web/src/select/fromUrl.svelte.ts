/** `sel=SID` in the address opens that stored selection, on whatever screen. */
import { asApiError } from '../lib/api'
import { overview } from '../lib/archive.svelte'
import { route } from '../lib/route.svelte'
import { selection } from '../lib/selection.svelte'
import { toast } from '../lib/ui/toasts.svelte'

/** To be called once, inside an effect root: follows the address from then on. */
export function followAddress(): void {
  let asked = ''
  let opened = $state('')

  $effect(() => {
    const sid = route.params.sel ?? ''
    // Rows kept from before a reload are found again first, or they would overwrite what is opened.
    const settled = overview.value !== null && (!selection.version || selection.version === overview.version)
    if (!settled || sid === asked) return
    asked = sid
    opened = ''
    if (!sid || selection.saved?.sid === sid) {
      opened = sid
      return
    }
    selection.open(sid).then(
      () => {
        if (asked === sid) opened = sid
        if (selection.missing) toast(`${selection.missing.toLocaleString('en')} of this selection are not in this version of the archive`)
      },
      (error) => toast(`Selection: ${asApiError(error).what}`, { tone: 'bad' }),
    )
  })

  // What is selected has changed since: the address would promise what is not shown. The comparison
  // shows the stored selection itself, whatever is selected.
  $effect(() => {
    const now = selection.saved?.sid
    if (opened && route.params.sel === opened && now !== opened && route.screen !== 'compare') {
      asked = ''
      opened = ''
      route.set({ sel: null }, { replace: true })
    }
  })
}
