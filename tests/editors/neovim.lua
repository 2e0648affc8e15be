-- What a person does in Neovim, one thing after the other. What has worked is written to $RESULTS.
local results = { version = tostring(vim.version()) }

local function save()
  vim.fn.writefile({ vim.json.encode(results) }, vim.env.RESULTS)
end

local function wait(what, condition)
  if not vim.wait(tonumber(vim.env.WAIT or "40") * 1000, condition, 50) then
    results.failed = what
    save()
    vim.cmd("cquit")
  end
end

local function codes()
  local found = {}
  for _, one in ipairs(vim.diagnostic.get(0)) do
    found[one.code] = (found[one.code] or 0) + 1
  end
  return found
end

local function place(word)
  vim.fn.cursor(1, 1)
  vim.fn.search(word)
end

local function action(title)
  vim.lsp.buf.code_action({
    apply = true,
    filter = function(one) return one.title:find(title, 1, true) ~= nil end,
  })
end

local function runs(pattern)
  local file = vim.fn.glob(vim.fn.getcwd() .. "/runs/*/events.jsonl")
  return file ~= "" and table.concat(vim.fn.readfile(file), "\n"):find(pattern) ~= nil
end

local function scenario()
  wait("diagnostics", function()
    local found = codes()
    return found["other-name"] == 1 and found["prompt-not-in-text"] == 1
  end)
  results.diagnostics = true

  place("num_heads")
  vim.lsp.buf.hover()
  wait("hover", function()
    for _, window in ipairs(vim.api.nvim_list_wins()) do
      local text = table.concat(vim.api.nvim_buf_get_lines(vim.api.nvim_win_get_buf(window), 0, -1, false), "\n")
      if vim.api.nvim_win_get_config(window).relative ~= "" and text:find("Each head attends", 1, true) then
        return true
      end
    end
  end)
  results.hover = true

  place([[device_type: \zs]])
  local done = false
  vim.lsp.buf_request(0, "textDocument/completion", vim.lsp.util.make_position_params(0, "utf-16"), function(_, answer)
    for _, item in ipairs(answer.items) do
      done = done or item.label == "cuda"
    end
  end)
  wait("completion", function() return done end)
  results.completion = true

  place("checkpoint_frequency")
  action("Rename to save_interval")
  wait("fix", function() return vim.fn.search("save_interval:", "nw") > 0 end)
  vim.cmd("silent write")
  results.fix = true

  -- As the page says: lenses are shown after a refresh, and the first of them is run.
  vim.lsp.codelens.refresh()
  wait("lens", function() return #vim.lsp.codelens.get(0) > 0 end)
  results.lens = true

  action("Train")
  wait("train", function() return runs('"kind": ?"step"') end)
  results.train = true

  action("Stop")
  wait("stop", function() return runs('"status": ?"stopped"') end)
  results.stop = true
  save()
  vim.cmd("qall!")
end

vim.api.nvim_create_autocmd("VimEnter", { once = true, callback = vim.schedule_wrap(scenario) })
