;;; What a person does in Emacs, one thing after the other.  What has worked is written to $RESULTS.  -*- lexical-binding: t -*-
;; The client's file (eglot.el, lsp-mode.el) says how each thing is done there: client-hover, client-complete, client-act.

(require 'json)

(defvar results (list (cons 'version emacs-version)))

(defun save-results ()
  (with-temp-file (getenv "RESULTS") (insert (json-encode results))))

(defun done (feature)
  (push (cons feature t) results))

(defun fail (what)
  (push (cons 'failed what) results)
  (save-results)
  (kill-emacs 1))

(defun wait (what condition)
  "Wait until CONDITION returns something; what Emacs does meanwhile goes on."
  (let ((until (+ (float-time) (string-to-number (or (getenv "WAIT") "40"))))
        (found nil))
    (while (not (setq found (funcall condition)))
      (when (> (float-time) until) (fail what))
      (accept-process-output nil 0.1)
      (sit-for 0.05))
    found))

(defun place (word)
  (goto-char (point-min))
  (search-forward word)
  (backward-char 1))

(defun event-seen (pattern)
  (let ((files (file-expand-wildcards (expand-file-name "runs/*/events.jsonl"))))
    (and files
         (with-temp-buffer
           (insert-file-contents (car files))
           (re-search-forward pattern nil t)))))

(defun scenario ()
  (condition-case error
      (progn
        (wait "diagnostics" (lambda ()
                              (let ((shown (client-diagnostics)))
                                (and (string-match-p "another name" shown)
                                     (string-match-p "does not occur" shown)))))
        (done 'diagnostics)
        (place "num_heads")
        (wait "hover" (lambda () (string-match-p "Each head looks back" (or (client-hover) ""))))
        (done 'hover)
        (place "device_type: ")
        (forward-char 1)
        (wait "completion" (lambda () (member "cuda" (client-complete))))
        (done 'completion)
        (place "checkpoint_frequency")
        (client-act "Rename to save_interval")
        (wait "fix" (lambda () (save-excursion (goto-char (point-min)) (search-forward "save_interval:" nil t))))
        (save-buffer)
        (done 'fix)
        (client-act "Train")
        (wait "train" (lambda () (event-seen "\"kind\": ?\"step\"")))
        (done 'train)
        (wait "stop offered" (lambda () (client-offers "Stop")))
        (client-act "Stop")
        (wait "stop" (lambda () (event-seen "\"status\": ?\"stopped\"")))
        (done 'stop)
        (save-results)
        (set-buffer-modified-p nil)
        (kill-emacs 0))
    (error (fail (format "%S" error)))))

(setq inhibit-startup-screen t
      make-backup-files nil
      create-lockfiles nil
      use-short-answers t)
(add-hook 'emacs-startup-hook (lambda () (run-with-timer 0.5 nil #'scenario)))
