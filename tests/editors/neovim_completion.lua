-- What a person does in Neovim to have a begun line completed. What has worked is written to $RESULTS.
local results = { version = tostring(vim.version()) }

local function finish(failed)
  results.failed = failed
  vim.fn.writefile({ vim.json.encode(results) }, vim.env.RESULTS)
  vim.cmd(failed and "cquit" or "qall!")
end

local function scenario()
  -- Headless, no key is waited for, and what Neovim does while it waits is not done: the event by which it asks for a
  -- completion is given by hand.
  if not vim.wait(40000, function() return #vim.lsp.get_clients({ bufnr = 0 }) > 0 end, 50) then
    return finish("attached")
  end
  vim.cmd("startinsert!")
  vim.api.nvim_feedkeys("Fox \u{1F98A} th", "t", false)
  local tries = 0
  local function accept()
    tries = tries + 1
    local line = vim.api.nvim_get_current_line()
    if line:find("thumbs", 1, true) then
      results.completed = line
      return finish()
    end
    if tries > 400 then return finish("completed: " .. line) end
    if tries % 20 == 1 then vim.api.nvim_exec_autocmds("CursorMovedI", { buffer = 0 }) end
    vim.lsp.inline_completion.get()
    vim.defer_fn(accept, 100)
  end
  vim.defer_fn(accept, 100)
end

vim.api.nvim_create_autocmd("VimEnter", { once = true, callback = function() vim.defer_fn(scenario, 0) end })
