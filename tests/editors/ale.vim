" How things are done in ALE.
let g:ale_hover_to_preview = 1

function! ClientShown() abort
  return join(map(copy(ale#engine#GetLoclist(bufnr(''))), {_, one -> get(one, 'text', '')}), "\n")
endfunction

function! ClientHover() abort
  ALEHover
endfunction

function! ClientComplete() abort
  call ale#completion#GetCompletions('ale-callback', {'callback': function('ClientCompleted'), 'prefix': ''})
endfunction

function! ClientCompleted(items) abort
  let g:completed = map(copy(a:items), 'v:val.word')
endfunction

" Chooses from the menu that ALE builds of the actions.
function! ClientAct(title, kind) abort
  let g:wanted = a:title
  call ale#codefix#Execute(0, function('ClientChoose'))
endfunction

function! ClientChoose(data, items) abort
  for [l:source, l:action] in a:items
    if l:action.title =~# g:wanted
      call ale#codefix#ApplyLSPCodeAction(a:data, l:action)
      return
    endif
  endfor
endfunction
