;;; How things are done in eglot.  -*- lexical-binding: t -*-

(require 'flymake)

(defun client-diagnostics ()
  (mapconcat #'flymake-diagnostic-text (flymake-diagnostics) "\n"))

(defun client-hover ()
  (let ((answer (jsonrpc-request (eglot-current-server) :textDocument/hover (eglot--TextDocumentPositionParams))))
    (eglot--hover-info (plist-get answer :contents) (plist-get answer :range))))

(defun client-complete ()
  (let ((answer (eglot-completion-at-point)))
    (and answer (all-completions "" (nth 2 answer)))))

(defun client-offers (title)
  (seq-find (lambda (action) (string-match-p title (plist-get action :title)))
            (jsonrpc-request (eglot-current-server) :textDocument/codeAction
                             (list :textDocument (eglot--TextDocumentIdentifier)
                                   :range (list :start (eglot--pos-to-lsp-position)
                                                :end (eglot--pos-to-lsp-position))
                                   :context (list :diagnostics [])))))

(defun client-act (title)
  "Choose the action with TITLE from the menu, as a person does."
  (let ((last-nonmenu-event ?.) ; a key, not the mouse
        (completing-read-function
         (lambda (_prompt collection &rest _)
           (seq-find (lambda (one) (string-match-p title one)) (all-completions "" collection)))))
    (call-interactively #'eglot-code-actions)))
