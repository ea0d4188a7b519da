#!/bin/sh
# Serves /srv/www on port 80 and nothing else. Runs as the build user, so root's work goes by sudo.
set -eu

sudo install -D -m 0644 /tmp/index.html /srv/www/index.html

sudo tee /etc/nginx/sites-available/www >/dev/null <<'SITE'
server {
    listen 80 default_server;
    listen [::]:80 default_server;
    server_tokens off;
    root /srv/www;
    index index.html;

    location / {
        try_files $uri $uri/ =404;
    }
}
SITE
sudo rm -f /etc/nginx/sites-enabled/default
sudo ln -sf ../sites-available/www /etc/nginx/sites-enabled/www

sudo nginx -t
sudo systemctl enable nginx
