" What a person does in Vim, one thing after the other. What has worked is written to $RESULTS.
" The client's file says how each thing is done there: ClientShown, ClientHover, ClientComplete and ClientAct.
let g:results = {'version': printf('%d.%d', v:version / 100, v:version % 100)}

function! Save() abort
  call writefile([json_encode(g:results)], $RESULTS)
endfunction

function! Event(pattern) abort
  let l:file = glob(getcwd() . '/runs/*/events.jsonl')
  return !empty(l:file) && join(readfile(l:file), "\n") =~# a:pattern
endfunction

function! Place(word) abort
  call cursor(1, 1)
  call search(a:word)
endfunction

" Everything on the screen, popups too, and in previews: a hover is in one of them.
function! Seen() abort
  let l:buffers = filter(range(1, bufnr('$')), 'bufexists(v:val)') + map(popup_list(), 'winbufnr(v:val)')
  return join(map(l:buffers, 'join(getbufline(v:val, 1, "$"), " ")'), "\n")
endfunction

" Clients complete while one writes, and each item once.
function! Completed() abort
  if mode() ==# 'i' && !exists('g:completed')
    let g:completed = []
    call Place('device_type: \zs')
    call ClientComplete()
  endif
  let l:menu = map(copy(complete_info(['items']).items), 'v:val.word')
  return index(get(g:, 'completed', []) + l:menu, 'cuda') >= 0
endfunction

let g:steps = [
\ ['diagnostics', {-> 0}, {-> ClientShown() =~# 'another name' && ClientShown() =~# 'does not occur'}],
\ ['hover', {-> Place('num_heads') + ClientHover()}, {-> Seen() =~# 'Each head attends'}],
\ ['completion', {-> feedkeys('i', 'n')}, {-> Completed()}],
\ ['written', {-> feedkeys("\<Esc>", 'n')}, {-> mode() ==# 'n'}],
\ ['fix', {-> Place('checkpoint_frequency') + ClientAct('Rename to save_interval', 'quickfix')}, {-> search('save_interval:', 'nw') > 0}],
\ ['train', {-> execute('silent write') . ClientAct('Train', 'trickster.train')}, {-> Event('"kind": \?"step"')}],
\ ['stop', {-> ClientAct('Stop', 'trickster.stop')}, {-> Event('"status": \?"stopped"')}],
\]
let g:begun = 0

function! Tick(timer) abort
  try
    if empty(g:steps)
      call Save()
      qall!
    endif
    let [l:feature, l:Act, l:Check] = g:steps[0]
    if !g:begun
      let g:begun = localtime()
      call l:Act()
    endif
    if l:Check()
      let g:results[l:feature] = v:true
      let g:begun = 0
      call remove(g:steps, 0)
    elseif localtime() - g:begun > 40
      let g:results.failed = l:feature
      call Save()
      cquit
    endif
  catch
    let g:results.failed = v:exception . ' ' . v:throwpoint
    call Save()
    cquit
  endtry
endfunction

call timer_start(300, 'Tick', {'repeat': -1})
