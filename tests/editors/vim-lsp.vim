" How things are done in vim-lsp.
function! ClientShown() abort
  let l:by_server = lsp#internal#diagnostics#state#_get_all_diagnostics_grouped_by_server_for_uri(lsp#utils#get_buffer_uri())
  return join(map(values(l:by_server), {_, one -> json_encode(one)}), "\n")
endfunction

function! ClientHover() abort
  LspHover
endfunction

function! ClientComplete() abort
  setlocal omnifunc=lsp#complete completeopt=menuone,noinsert,noselect
  call feedkeys("\<C-x>\<C-o>", 'n')
endfunction

" With a kind that one action has, it is done without a menu.
function! ClientAct(title, kind) abort
  execute 'LspCodeAction' a:kind
endfunction
