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

;; Each step: what is shown by it, what is done once, and what has to come true.  It is looked at by a timer that ends
;; at once, because Emacs does its other work only between two of them.
(defvar steps
  (list
   (list 'diagnostics #'ignore
         (lambda ()
           (let ((shown (client-diagnostics)))
             (and (string-match-p "another name" shown) (string-match-p "does not occur" shown)))))
   (list 'hover (lambda () (place "num_heads"))
         (lambda () (string-match-p "Each head attends" (or (client-hover) ""))))
   (list 'completion (lambda () (place "device_type: ") (forward-char 1))
         (lambda () (member "cuda" (client-complete))))
   (list 'fix (lambda () (place "checkpoint_frequency") (client-act "Rename to save_interval"))
         (lambda () (save-excursion (goto-char (point-min)) (search-forward "save_interval:" nil t))))
   (list 'train (lambda () (save-buffer) (client-act "Train"))
         (lambda () (event-seen "\"kind\": ?\"step\"")))
   (list 'offered #'ignore (lambda () (client-offers "Stop")))
   (list 'stop (lambda () (client-act "Stop"))
         (lambda () (event-seen "\"status\": ?\"stopped\"")))))

(defvar begun nil)

(defun tick ()
  (condition-case error
      (with-current-buffer (seq-find #'buffer-file-name (buffer-list))
        (switch-to-buffer (current-buffer))
        (run-hooks 'post-command-hook) ; as after a key: much of what clients do waits for one
        (if (null steps)
            (progn
              (save-results)
              (set-buffer-modified-p nil)
              (kill-emacs 0))
          (pcase-let ((`(,feature ,act ,check) (car steps)))
            (unless begun
              (setq begun (float-time))
              (funcall act))
            (cond ((funcall check)
                   (done feature)
                   (setq begun nil)
                   (pop steps))
                  ((> (- (float-time) begun) (string-to-number (or (getenv "WAIT") "40")))
                   (fail feature))))))
    (error (fail (format "%S" error)))))

(setq inhibit-startup-screen t
      make-backup-files nil
      create-lockfiles nil
      confirm-kill-processes nil
      native-comp-async-report-warnings-errors nil
      use-short-answers t)
(add-hook 'emacs-startup-hook (lambda () (run-with-timer 0.5 0.3 #'tick)))
