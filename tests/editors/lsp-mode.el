;;; How things are done in lsp-mode.  -*- lexical-binding: t -*-

(setq lsp-warn-no-matched-clients nil
      lsp-enable-suggest-server-download nil
      lsp-auto-guess-root t
      lsp-diagnostics-provider :flymake
      lsp-headerline-breadcrumb-enable nil)

(defun client-diagnostics ()
  (mapconcat (lambda (one) (lsp:diagnostic-message one))
             (gethash (lsp--fix-path-casing (buffer-file-name)) (lsp-diagnostics t))
             "\n"))

(defun client-hover ()
  (let ((answer (lsp-request "textDocument/hover" (lsp--text-document-position-params))))
    (and answer (format "%s" (lsp:hover-contents answer)))))

(defun client-complete ()
  (let ((answer (lsp-completion-at-point)))
    (and answer (all-completions "" (nth 2 answer)))))

(defun client-offers (title)
  (seq-find (lambda (action) (string-match-p title (lsp:code-action-title action)))
            (lsp-code-actions-at-point)))

(defun client-act (title)
  (lsp-execute-code-action (client-offers title)))
