" What a person does in Vim with ALE, one thing after the other. What has worked is written to $RESULTS.
let g:results = {'version': printf('%d.%d', v:version / 100, v:version % 100)}

function! Save() abort
  call writefile([json_encode(g:results)], $RESULTS)
endfunction

function! Event(pattern) abort
  let l:file = glob(getcwd() . '/runs/*/events.jsonl')
  return !empty(l:file) && join(readfile(l:file), "\n") =~# a:pattern
endfunction

function! Shown() abort
  return join(map(copy(ale#engine#GetLoclist(bufnr(''))), {_, one -> get(one, 'text', '')}), "\n")
endfunction

" Chooses from the menu that ALE builds of the actions.
let g:wanted = ''
function! Choose(data, items) abort
  for [l:source, l:action] in a:items
    if l:action.title =~# g:wanted
      call ale#codefix#ApplyLSPCodeAction(a:data, l:action)
      return
    endif
  endfor
endfunction

function! Act(title) abort
  let g:wanted = a:title
  call ale#codefix#Execute(0, function('Choose'))
endfunction

function! Completion() abort
  call cursor(1, 1)
  call search('device_type: \zs')
  call ale#completion#GetCompletions('ale-callback', {'callback': function('Completed'), 'prefix': ''})
endfunction

function! Completed(items) abort
  let g:completed = map(copy(a:items), 'v:val.word')
endfunction

function! Hovered() abort
  return join(map(range(1, bufnr('$')), 'bufexists(v:val) ? join(getbufline(v:val, 1, "$"), "\n") : ""'), "\n")
endfunction

let g:completed = []
let g:steps = [
\ ['diagnostics', {-> 0}, {-> Shown() =~# 'another name' && Shown() =~# 'does not occur'}],
\ ['hover', {-> search('num_heads') + execute('ALEHover')}, {-> Hovered() =~# 'Each head looks back'}],
\ ['completion', {-> Completion()}, {-> index(g:completed, 'cuda') >= 0}],
\ ['fix', {-> search('checkpoint_frequency') + Act('Rename to save_interval')}, {-> search('save_interval:', 'nw') > 0}],
\ ['train', {-> execute('silent write') . Act('Train')}, {-> Event('"kind": \?"step"')}],
\ ['stop', {-> Act('Stop')}, {-> Event('"status": \?"stopped"')}],
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

let g:ale_hover_to_preview = 1
call timer_start(300, 'Tick', {'repeat': -1})
